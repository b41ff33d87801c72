;; Wants a table of 400,000,000 elements from the beginning.
;; exports: intercepting-publish
(table $table 400000000 funcref)
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
