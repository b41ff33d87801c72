;; Answers WASI preview1 for core modules (Go, C with wasi-libc) inside the component that the broker makes
;; of them: true clocks and random, output to the log, no arguments, no environment, no files, no sockets.
;;
;; Encoded as adapter.wasm; a test holds the two together. The component encoder leaves out what a module
;; does not import. It lets an adapter have neither memory nor tables of its own.
;;
;; A component may not call out while the host has it allocate memory for arguments. Go's collector looks at the
;; clock whenever it runs, then too. So for a module with such a runtime, which is known by its asking for
;; arguments, the clock stands still between the moments at which it is set: when the module starts, and when it
;; asks for the clock's resolution, which tidegate's Go package does at the beginning of each hook.
(module
  (import "tidegate:adapter/preview1@0.1.0" "now" (func $now (result i64)))
  (import "tidegate:adapter/preview1@0.1.0" "monotonic" (func $monotonic (result i64)))
  (import "tidegate:adapter/preview1@0.1.0" "random" (func $random (result i64)))
  (import "tidegate:adapter/preview1@0.1.0" "write" (func $write (param i32 i32 i32)))
  (import "tidegate:adapter/preview1@0.1.0" "exit" (func $exit (param i32)))
  (import "env" "memory" (memory 0))

  ;; Nanoseconds that were slept through: a sleep ends at once, and the monotonic clock has gone on by it.
  (global $slept (mut i64) (i64.const 0))

  ;; 1: the clock is one that is set.
  (global $is_set (mut i32) (i32.const 0))
  (global $set_now (mut i64) (i64.const 0))
  (global $set_monotonic (mut i64) (i64.const 0))

  ;; Errors of preview1: badf 8, inval 28, nosys 52, notcapable 76.

  (func (export "args_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (global.set $is_set (i32.const 1))
    (call $set)
    (call $nothing (local.get $count) (local.get $bytes)))

  (func $nothing (export "environ_sizes_get") (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))

  (func (export "args_get") (export "environ_get") (param i32 i32) (result i32)
    (i32.const 0))

  (func (export "clock_res_get") (param $clock i32) (param $resolution i32) (result i32)
    (call $set)
    (i64.store (local.get $resolution) (i64.const 1))
    (i32.const 0))

  (func $set
    (global.set $set_now (call $now))
    (global.set $set_monotonic (call $monotonic)))

  (func $time (param $clock i32) (result i64)
    (if (i32.eqz (global.get $is_set))
      (then (call $set)))
    ;; Each look at a clock that stands still sees another time.
    (global.set $set_now (i64.add (global.get $set_now) (i64.const 1)))
    (global.set $set_monotonic (i64.add (global.get $set_monotonic) (i64.const 1)))
    (if (result i64) (local.get $clock)
      (then (i64.add (global.get $set_monotonic) (global.get $slept)))
      (else (global.get $set_now))))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (i64.store (local.get $time) (call $time (local.get $clock)))
    (i32.const 0))

  (func (export "random_get") (param $at i32) (param $length i32) (result i32)
    (local $word i64)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $length)))
        (if (i64.eqz (local.get $word))
          (then (local.set $word (call $random))))
        (i64.store8 (local.get $at) (local.get $word))
        ;; A byte is shifted out; where only the lower half is left, another word is asked for.
        (local.set $word (i64.shr_u (local.get $word) (i64.const 8)))
        (if (i64.lt_u (local.get $word) (i64.const 0x100000000))
          (then (local.set $word (i64.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $length i32)
    (local $total i32)
    ;; stdout and stderr
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then (return (i32.const 8))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (call $write
          (local.get $fd)
          (i32.load (local.get $parts))
          (local.tee $length (i32.load offset=4 (local.get $parts))))
        (local.set $total (i32.add (local.get $total) (local.get $length)))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $total))
    (i32.const 0))

  ;; stdin is at its end.
  (func (export "fd_read") (param $fd i32) (param $parts i32) (param $count i32) (param $read i32) (result i32)
    (if (local.get $fd)
      (then (return (i32.const 8))))
    (i32.store (local.get $read) (i32.const 0))
    (i32.const 0))

  ;; The first three are character devices that can be read and written, and nothing else; that makes C
  ;; libraries write out each line.
  (func (export "fd_fdstat_get") (param $fd i32) (param $status i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2))
      (then (return (i32.const 8))))
    (i64.store (local.get $status) (i64.const 2))
    (i64.store offset=8 (local.get $status) (i64.const 0x42))
    (i64.store offset=16 (local.get $status) (i64.const 0))
    (i32.const 0))

  (func (export "fd_fdstat_set_flags") (param $fd i32) (param $flags i32) (result i32)
    (select (i32.const 8) (i32.const 0) (i32.gt_u (local.get $fd) (i32.const 2))))

  (func (export "sched_yield") (result i32)
    (i32.const 0))

  ;; Everything has happened, and all the time that was to be waited for has passed.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (local $left i32)
    (local $pause i64)
    (if (i32.eqz (local.get $count))
      (then (return (i32.const 28))))
    (local.set $left (local.get $count))
    (loop $next
      (i64.store (local.get $out) (i64.load (local.get $in)))
      (i64.store offset=8 (local.get $out)
        (i64.shl (i64.load8_u offset=8 (local.get $in)) (i64.const 16)))
      (i64.store offset=16 (local.get $out) (i64.const 0))
      (i64.store offset=24 (local.get $out) (i64.const 0))
      ;; Kind 0 is a clock.
      (if (i32.eqz (i32.load8_u offset=8 (local.get $in)))
        (then
          (local.set $pause (i64.load offset=24 (local.get $in)))
          (if (i32.load16_u offset=40 (local.get $in))
            (then
              (local.set $pause
                (i64.sub (local.get $pause) (call $time (i32.load offset=16 (local.get $in)))))))
          (if (i64.gt_s (local.get $pause) (i64.const 0))
            (then (global.set $slept (i64.add (global.get $slept) (local.get $pause)))))))
      (local.set $in (i32.add (local.get $in) (i32.const 48)))
      (local.set $out (i32.add (local.get $out) (i32.const 32)))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.store (local.get $events) (local.get $count))
    (i32.const 0))

  (func (export "proc_exit") (param $code i32)
    (call $exit (local.get $code))
    unreachable)

  (func (export "proc_raise") (param i32) (result i32)
    (i32.const 52))

  ;; No other descriptor is ever open. One function for each signature.
  (func (export "fd_close") (export "fd_datasync") (export "fd_sync") (param i32) (result i32)
    (i32.const 8))
  (func (export "fd_filestat_get") (export "fd_prestat_get") (export "fd_renumber") (export "fd_tell")
    (export "sock_shutdown") (param i32 i32) (result i32)
    (i32.const 8))
  (func (export "fd_prestat_dir_name") (export "sock_accept") (param i32 i32 i32) (result i32)
    (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32)
    (i32.const 8))
  (func (export "fd_fdstat_set_rights") (export "fd_allocate") (param i32 i64 i64) (result i32)
    (i32.const 8))
  (func (export "fd_advise") (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32)
    (i32.const 8))
  (func (export "fd_pread") (export "fd_pwrite") (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32)
    (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32)
    (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32)
    (i32.const 8))
  (func (export "path_create_directory") (export "path_remove_directory") (export "path_unlink_file")
    (param i32 i32 i32) (result i32)
    (i32.const 76))
  (func (export "path_filestat_get") (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32)
    (i32.const 76))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32)
    (i32.const 76))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i32.const 76))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)
    (i32.const 76))
  (func (export "path_readlink") (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.const 76))
)
