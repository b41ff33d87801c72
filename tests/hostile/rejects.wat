;; Does nothing wrong either, and rejects all messages with 0x99.
;; exports: intercepting-publish
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (i32.store8 (i32.const 16) (i32.const 2))
  (i32.store8 (i32.const 17) (i32.const 0x99))
  (i32.const 16))
