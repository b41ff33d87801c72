;; A call that calls itself until the stack ends.
;; exports: intercepting-publish
(func $deeper (param i32) (result i32)
  (i32.add (local.get 0) (call $deeper (i32.add (local.get 0) (i32.const 1)))))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $deeper (i32.const 0)))
