;; Makes its table longer until it gets no more; then it traps.
;; exports: intercepting-publish
(table $table 1 funcref)
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (loop $more
    (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
  (unreachable))
