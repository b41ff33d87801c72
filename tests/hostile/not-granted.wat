;; Publishes without a grant, and rejects with 0x87 (not authorized) where the answer is `denied`, with 0x80 where
;; it is anything else.
;; imports: broker
;; exports: intercepting-publish
(import "tidegate:plugin/broker@0.1.0" "publish"
  (func $publish_it (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $publish_it (local.get 2) (local.get 3) (i32.const 16) (i32.const 0)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
  (i32.store8 (i32.const 16) (i32.const 2))
  (i32.store8 (i32.const 17)
    (select (i32.const 0x87) (i32.const 0x80)
      (i32.and
        (i32.eq (i32.load8_u (i32.const 32)) (i32.const 1))
        (i32.eq (i32.load8_u (i32.const 33)) (i32.const 3)))))
  (i32.const 16))
