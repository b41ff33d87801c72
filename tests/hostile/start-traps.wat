;; exports: intercepting-publish
(func $start (unreachable))
(start $start)
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
