;; Starts, but traps when it is to end and when it is to go on from another version.
;; exports: lifecycle intercepting-publish
(func (export "tidegate:plugin/lifecycle@0.1.0#init") (type $init) (i32.const 128))
(func (export "tidegate:plugin/lifecycle@0.1.0#drain") (type $drain) (unreachable))
(func (export "tidegate:plugin/lifecycle@0.1.0#migrate") (type $migrate) (unreachable))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
