package typedjson_test

import (
	"fmt"
	"time"

	"github.com/loamdb/loam/state/typedjson"
)

func Example() {
	line, err := typedjson.Append(nil, map[string]any{
		"count": int64(5), "ratio": 5.0, "id": uint64(7), "raw": []byte{0, 1}, "at": time.Date(2026, 3, 1, 12, 30, 5, 0, time.UTC), "$": nil,
	}, nil)
	fmt.Println(string(line), err)
	v, err := typedjson.Decode(line, nil)
	fmt.Printf("%T %T %v\n", v.(map[string]any)["count"], v.(map[string]any)["ratio"], err)
	// Output:
	// {"$$":null,"at":{"$time":"2026-03-01T12:30:05Z"},"count":5,"id":{"$uint":"7"},"ratio":5.0,"raw":{"$bytes":"AAE="}} <nil>
	// int64 float64 <nil>
}
