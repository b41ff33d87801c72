;; The first three instances start; later ones never come back from `init`. Every call traps.
;; imports: state
;; exports: lifecycle intercepting-publish
(import "tidegate:plugin/state@0.1.0" "atomic-add" (func $add (param i32 i32 i64 i32)))
(func (export "tidegate:plugin/lifecycle@0.1.0#init") (type $init)
  (call $add (i32.const 16) (i32.const 1) (i64.const 1) (i32.const 32))
  (if (i64.gt_u (i64.load (i32.const 40)) (i64.const 3)) (then (loop $for_ever (br $for_ever))))
  ;; ok, with no topics and nothing else
  (i32.const 128))
(func (export "tidegate:plugin/lifecycle@0.1.0#drain") (type $drain) (i32.const 128))
(func (export "tidegate:plugin/lifecycle@0.1.0#migrate") (type $migrate) (i32.const 128))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (unreachable))
(data (i32.const 16) "i")
