;; Wants 4 GiB of memory from the beginning.
;; exports: intercepting-publish
;; memory: 65536
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
