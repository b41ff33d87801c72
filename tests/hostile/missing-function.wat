;; Its world says that it answers a hook, and there is no such function.
;; exports: intercepting-publish
(func (export "something-else") (result i32) (i32.const 0))
