// Package interceptingunsubscription is the hook intercepting-unsubscription: an UNSUBSCRIBE, before the index changes.
package interceptingunsubscription

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Verdict about one filter. Its zero value lets it be removed.
type Verdict struct{ kind, reason uint8 }

// Next has no opinion.
func Next() Verdict { return Verdict{} }

// Keep says success, and the subscription stays.
func Keep() Verdict { return Verdict{kind: 1} }

// Deny with this Reason Code, 0x80 or above.
func Deny(reason tidegate.ReasonCode) Verdict { return Verdict{2, uint8(reason)} }

var handler func(client uint64, filters []string) []Verdict

// Handle names the function that answers: with one verdict per filter, in their order.
func Handle(function func(client uint64, filters []string) []Verdict) { handler = function }

//go:wasmexport tidegate:plugin/intercepting-unsubscription@0.1.0#intercept
func intercept(client uint64, filters unsafe.Pointer, count uint32) unsafe.Pointer {
	abi.Begin()
	texts := make([]string, count)
	for i, filter := range unsafe.Slice((*abi.List)(filters), count) {
		texts[i] = filter.String()
	}
	verdicts := handler(client, texts)
	abi.Release()
	result := abi.Result[abi.List]()
	*result = abi.OfItems(verdicts)
	return unsafe.Pointer(result)
}
