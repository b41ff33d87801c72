;; Its allocator gives memory that it does not have, to whoever passes it a topic.
;; exports: intercepting-publish
;; realloc: 0x7fff0000
(func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept") (type $publish) (i32.const 0))
