;; Takes memory page by page and writes to each, until it gets no more; then it traps.
;; exports: intercepting-publish
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (local $page i32)
  (loop $more
    (local.set $page (memory.grow (i32.const 16)))
    (if (i32.eq (local.get $page) (i32.const -1)) (then (unreachable)))
    (i32.store (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
    (br $more))
  (unreachable))
