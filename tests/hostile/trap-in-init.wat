;; exports: lifecycle intercepting-publish
(func (export "tidegate:plugin/lifecycle@0.1.0#init") (type $init) (unreachable))
(func (export "tidegate:plugin/lifecycle@0.1.0#drain") (type $drain) (unreachable))
(func (export "tidegate:plugin/lifecycle@0.1.0#migrate") (type $migrate) (unreachable))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
