;; Sets a million keys of its state, one after the other, whatever the answer is.
;; imports: state
;; exports: intercepting-publish
(import "tidegate:plugin/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (local $key i32)
  (loop $more
    ;; the number itself in two bytes of seven bits and one of six, as the key is UTF-8
    (i32.store8 (i32.const 16) (i32.and (local.get $key) (i32.const 127)))
    (i32.store8 (i32.const 17) (i32.and (i32.shr_u (local.get $key) (i32.const 7)) (i32.const 127)))
    (i32.store8 (i32.const 18) (i32.and (i32.shr_u (local.get $key) (i32.const 14)) (i32.const 127)))
    (call $set (i32.const 16) (i32.const 3) (i32.const 16) (i32.const 3)
      (i32.const 0) (i64.const 0) (i32.const 32))
    (local.set $key (i32.add (local.get $key) (i32.const 1)))
    (br_if $more (i32.lt_u (local.get $key) (i32.const 1000000))))
  (i32.const 0))
