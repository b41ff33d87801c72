// Package events is the hook events: what happened, in batches.
package events

import (
	"unsafe"

	"example-plugin/tidegate/internal/abi"
)

var handler func(rows []uint64, texts string)

// Handle names the function that is told. wit/deps/tidegate-plugin/events.wit says how the rows are packed.
func Handle(function func(rows []uint64, texts string)) { handler = function }

//go:wasmexport tidegate:plugin/events@0.1.0#handle
func handle(rows unsafe.Pointer, count uint32, texts unsafe.Pointer, length uint32) {
	abi.Begin()
	handler(unsafe.Slice((*uint64)(rows), count), abi.String(texts, length))
	abi.Release()
}
