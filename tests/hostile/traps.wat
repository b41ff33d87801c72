;; Traps in every hook.
;; exports: validating-connection authorizer intercepting-publish intercepting-client-enqueue
;; exports: intercepting-subscription intercepting-unsubscription application-message-not-consumed events
(func (export "tidegate:plugin/validating-connection@0.1.0#validate") (type $validate) (unreachable))
(func (export "tidegate:plugin/validating-connection@0.1.0#authenticate") (type $authenticate) (unreachable))
(func (export "tidegate:plugin/authorizer@0.1.0#authorize") (type $authorize) (unreachable))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (unreachable))
(func (export "tidegate:plugin/intercepting-client-enqueue@0.1.0#intercept") (type $enqueue) (unreachable))
(func (export "tidegate:plugin/intercepting-subscription@0.1.0#intercept") (type $subscription) (unreachable))
(func (export "tidegate:plugin/intercepting-unsubscription@0.1.0#intercept") (type $unsubscription) (unreachable))
(func (export "tidegate:plugin/application-message-not-consumed@0.1.0#not-consumed") (type $not_consumed)
  (unreachable))
(func (export "tidegate:plugin/events@0.1.0#handle") (type $events) (unreachable))
