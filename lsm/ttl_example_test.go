package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/lsm"
)

// exampleClock is a clock that the example moves.
type exampleClock struct{ elapsed atomic.Int64 }

func (c *exampleClock) Wall() time.Time {
	return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC).Add(c.Elapsed())
}
func (c *exampleClock) Elapsed() time.Duration { return time.Duration(c.elapsed.Load()) }

// A session expires after half an hour without a write; what expires is an event.
func ExampleDB_SetWithTTL() {
	clock := &exampleClock{}
	db, err := lsm.Open("sessions", &lsm.Options{InMemory: true, Clock: clock, ExpiryEvents: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	session := []byte("session/7")
	_ = db.SetWithTTL(session, []byte("logged in"), 30*time.Minute, nil)

	clock.elapsed.Add(int64(29 * time.Minute))
	v, expires, err := db.GetWithExpiry(session)
	fmt.Printf("%s until %s\n", v, expires.UTC().Format(time.TimeOnly))

	clock.elapsed.Add(int64(time.Minute))
	_, err = db.Get(session)
	fmt.Println(errors.Is(err, lsm.ErrNotFound))

	events, err := db.AwaitExpiryEvents(context.Background(), 10)
	for _, e := range events {
		fmt.Printf("%s has expired\n", e.Key)
	}
	err = db.AckExpiryEvents(nil, events...)
	fmt.Println(err)
	// Output:
	// logged in until 12:30:00
	// true
	// session/7 has expired
	// <nil>
}
