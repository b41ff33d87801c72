;; Logs a line of 100 MB, which it has.
;; imports: log
;; exports: intercepting-publish
;; memory: 1700
(import "tidegate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $write (i32.const 4) (i32.const 0) (i32.const 100000000) (i32.const 0) (i32.const 0))
  (i32.const 0))
