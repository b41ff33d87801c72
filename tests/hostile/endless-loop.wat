;; A call that never ends.
;; exports: intercepting-publish
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish)
  (loop $for_ever (br $for_ever))
  (unreachable))
