;; Logs bytes that are not UTF-8.
;; imports: log
;; exports: intercepting-publish
(import "tidegate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (i32.store (i32.const 16) (i32.const 0xfffefdfc))
  (call $write (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0))
  (i32.const 0))
