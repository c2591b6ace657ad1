package edit_test

import (
	"fmt"
	"math"

	"github.com/loamdb/loam/state/edit"
)

func Example() {
	config := map[string]any{"model": "small", "limits": map[string]any{"tokens": int64(100), "turns": int64(5)}}
	patched, err := edit.MergePatch(config, map[string]any{"model": "large", "limits": map[string]any{"turns": nil}}, nil)
	fmt.Println(patched, err)
	n, err := edit.Increment(int64(41), 1)
	fmt.Println(n, err)
	_, err = edit.Increment(int64(math.MaxInt64), 1)
	fmt.Println(err)
	list, err := edit.Append([]any{"a"}, nil, "b", "c")
	fmt.Println(list, err)
	// Output:
	// map[limits:map[tokens:100] model:large] <nil>
	// 42 <nil>
	// codec: number out of range: int64 incremented by int64
	// [a b c] <nil>
}
