package lsm_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/loamdb/loam/lsm"
)

// Counting without reading: increments conflict with nothing, and are added up by whoever
// reads.
func ExampleDB_Merge() {
	db, err := lsm.Open("db", &lsm.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		if err := db.Merge(lsm.Int64Add, []byte("visits"), lsm.Int64Bytes(2), lsm.NoSync); err != nil {
			log.Fatal(err)
		}
	}
	v, err := db.Get([]byte("visits"))
	if err != nil {
		log.Fatal(err)
	}
	n, err := lsm.Int64Of(v)
	fmt.Println(n, err)
	// Output: 6 <nil>
}

// An operator of one's own: the value is a set of words.
func ExampleOperator() {
	addWord := lsm.Operator{
		Name: "example.add-word",
		Fold: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			words := strings.Fields(string(value))
			for _, o := range operands {
				if !strings.Contains(" "+strings.Join(words, " ")+" ", " "+string(o)+" ") {
					words = append(words, string(o))
				}
			}
			return append(dst, strings.Join(words, " ")...), nil
		},
		Check: func(operand []byte) error {
			if len(strings.Fields(string(operand))) != 1 {
				return errors.New("it is one word")
			}
			return nil
		},
	}
	db, err := lsm.Open("db", &lsm.Options{InMemory: true, Operators: []lsm.Operator{addWord}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, word := range []string{"red", "green", "red", "two words"} {
		err = db.Merge(addWord.Name, []byte("colours"), []byte(word), lsm.NoSync)
	}
	fmt.Println(errors.Is(err, lsm.ErrMerge))
	v, err := db.Get([]byte("colours"))
	fmt.Println(string(v), err)
	// Output:
	// true
	// red green <nil>
}
