;; Logs a line that lies outside its memory.
;; imports: log
;; exports: intercepting-publish
(import "tidegate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $write (i32.const 4) (i32.const 0x7ffffff0) (i32.const 100) (i32.const 0) (i32.const 0))
  (i32.const 0))
