;; Hands four bytes over to the next version.
;; exports: lifecycle intercepting-publish
(func (export "tidegate:plugin/lifecycle@0.1.0#init") (type $init) (i32.const 128))
(func (export "tidegate:plugin/lifecycle@0.1.0#drain") (type $drain)
  (i32.store8 (i32.const 16) (i32.const 1))
  (i32.store (i32.const 24) (i32.const 128))
  (i32.store (i32.const 28) (i32.const 4))
  (i32.const 16))
(func (export "tidegate:plugin/lifecycle@0.1.0#migrate") (type $migrate) (i32.const 128))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
