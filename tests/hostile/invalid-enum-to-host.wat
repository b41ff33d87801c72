;; Logs at the level 99 of five.
;; imports: log
;; exports: intercepting-publish
(import "tidegate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $write (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
  (i32.const 0))
