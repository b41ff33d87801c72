;; Answers that a message is to be redirected to bytes that are not UTF-8, and a filter to be rewritten to such.
;; exports: application-message-not-consumed intercepting-subscription
(func (export "tidegate:plugin/application-message-not-consumed@0.1.0#not-consumed") (type $not_consumed)
  (i32.store (i32.const 64) (i32.const 0xfffefdfc))
  (i32.store8 (i32.const 16) (i32.const 1))
  (i32.store (i32.const 20) (i32.const 64))
  (i32.store (i32.const 24) (i32.const 4))
  (i32.const 16))
;; [grant { exactly-once, some(bytes) }]
(func (export "tidegate:plugin/intercepting-subscription@0.1.0#intercept") (type $subscription)
  (i32.store (i32.const 64) (i32.const 0xfffefdfc))
  (i32.store8 (i32.const 32) (i32.const 1))
  (i32.store8 (i32.const 36) (i32.const 2))
  (i32.store8 (i32.const 40) (i32.const 1))
  (i32.store (i32.const 44) (i32.const 64))
  (i32.store (i32.const 48) (i32.const 4))
  (i32.store (i32.const 16) (i32.const 32))
  (i32.store (i32.const 20) (i32.const 1))
  (i32.const 16))
