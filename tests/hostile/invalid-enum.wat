;; Answers with the case 7 of an enum that has two.
;; exports: intercepting-client-enqueue
(func (export "tidegate:plugin/intercepting-client-enqueue@0.1.0#intercept") (type $enqueue) (i32.const 7))
