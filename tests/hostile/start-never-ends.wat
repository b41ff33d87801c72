;; Its start function never ends.
;; exports: intercepting-publish
(func $start (loop $for_ever (br $for_ever)))
(start $start)
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
