;; Answers a SUBSCRIBE with a list of a billion verdicts, and a PUBLISH with a payload of 1 GiB.
;; imports: message
;; exports: intercepting-publish intercepting-subscription
(import "tidegate:plugin/message@0.1.0" "modify"
  (func $modify (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (call $modify (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 1) (i32.const 0) (i32.const 0x40000000)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
  (i32.const 0))
(func (export "tidegate:plugin/intercepting-subscription@0.1.0#intercept") (type $subscription)
  (i32.store (i32.const 16) (i32.const 0))
  (i32.store (i32.const 20) (i32.const 1000000000))
  (i32.const 16))
