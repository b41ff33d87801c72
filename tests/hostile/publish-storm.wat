;; Publishes what it is asked about again and again, to the same topic: the first call makes a storm, the storm
;; calls it again. Two such plugins answer each other.
;; imports: broker
;; exports: intercepting-publish
(import "tidegate:plugin/broker@0.1.0" "publish"
  (func $publish_it (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (local $left i32)
  (local.set $left (i32.const 1000))
  (loop $more
    (call $publish_it (local.get 2) (local.get 3) (i32.const 16) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
    (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (i32.const 0))
