;; Answers with the case 255 of a variant that has three, in every hook that answers with one.
;; exports: intercepting-publish authorizer validating-connection application-message-not-consumed
(func $case_255 (result i32)
  (i32.store8 (i32.const 16) (i32.const 255))
  (i32.const 16))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (call $case_255))
(func (export "tidegate:plugin/authorizer@0.1.0#authorize") (type $authorize) (call $case_255))
(func (export "tidegate:plugin/validating-connection@0.1.0#validate") (type $validate) (call $case_255))
(func (export "tidegate:plugin/validating-connection@0.1.0#authenticate") (type $authenticate) (call $case_255))
(func (export "tidegate:plugin/application-message-not-consumed@0.1.0#not-consumed") (type $not_consumed)
  (call $case_255))
