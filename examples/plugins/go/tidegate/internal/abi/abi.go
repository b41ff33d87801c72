// Package abi passes strings and lists between Go and the broker: the component model's canonical ABI, as far
// as wit/ needs it. Addresses are 32 bits there, and 64 in Go.
package abi

import (
	"runtime"
	"unsafe"
)

// What the broker wrote into memory for the call that runs; the collector must not have it before.
var kept [][]byte

// Allocate is where the broker writes strings and lists to.
//
//go:wasmexport cabi_realloc
func Allocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	// In words, so that everything is aligned.
	words := make([]uint64, size/8+1)
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
	if old != nil {
		copy(memory, unsafe.Slice((*byte)(old), oldSize))
	}
	kept = append(kept, memory)
	return unsafe.Pointer(unsafe.SliceData(words))
}

//go:wasmimport wasi_snapshot_preview1 clock_res_get
func clockResolution(clock uint32, result unsafe.Pointer) uint32

// Begin sets Go's clock, which stands still during a call: the collector looks at it at moments at which the
// broker cannot be asked.
func Begin() {
	clockResolution(0, unsafe.Pointer(&Area))
}

// Release ends a call: who still holds what came with it holds it alone.
func Release() {
	clear(kept)
	kept = kept[:0]
}

// List is a string or list in the broker's layout.
type List struct{ Start, Length uint32 }

// Optional is an option or a result of a list in the broker's layout.
type Optional struct {
	Case uint8
	_    [3]uint8
	List List
}

// Area is where results of more than one word lie; a call at a time.
var Area [8]uint64

// Result gives the area a shape.
func Result[T any]() *T {
	Area = [8]uint64{}
	return (*T)(unsafe.Pointer(&Area))
}

func String(start unsafe.Pointer, length uint32) string {
	return unsafe.String((*byte)(start), length)
}

func Bytes(start unsafe.Pointer, length uint32) []byte {
	return unsafe.Slice((*byte)(start), length)
}

func (list List) String() string {
	return String(pointer(list.Start), list.Length)
}

func (list List) Bytes() []byte {
	return Bytes(pointer(list.Start), list.Length)
}

// Of has the text stay where it is until Release.
func Of(text string) List {
	return OfBytes(unsafe.Slice(unsafe.StringData(text), len(text)))
}

// OfBytes is the same for bytes.
func OfBytes(bytes []byte) List {
	kept = append(kept, bytes)
	return List{address(unsafe.Pointer(unsafe.SliceData(bytes))), uint32(len(bytes))}
}

// OfLists makes a list of lists.
func OfLists(lists []List, perItem int) List {
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(lists))), len(lists)*8)
	list := OfBytes(memory)
	return List{list.Start, uint32(len(lists) / perItem)}
}

// OfItems makes a list of what has the broker's layout already.
func OfItems[T any](items []T) List {
	size := int(unsafe.Sizeof(*new(T)))
	list := OfBytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(items))), len(items)*size))
	return List{list.Start, uint32(len(items))}
}

// Lists is the other way round.
func (list List) Lists(perItem int) []List {
	if list.Length == 0 {
		return nil
	}
	return unsafe.Slice((*List)(pointer(list.Start)), int(list.Length)*perItem)
}

func address(pointer unsafe.Pointer) uint32 {
	return uint32(uintptr(pointer))
}

// What is at the address was allocated by Allocate, and is kept.
func pointer(address uint32) unsafe.Pointer {
	memory := uintptr(address)
	runtime.KeepAlive(kept)
	return *(*unsafe.Pointer)(unsafe.Pointer(&memory))
}
