package audit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/scope"
)

// A request is answered and recorded; the records are verified and asked for.
func Example() {
	ctx := context.Background()
	policy, err := access.NewPolicy(&access.Rules{}, time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := audit.Open(ctx, &audit.Memory{}, audit.Options{Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := access.Request{Principal: "mallory", Op: access.OpGet, Scope: scope.User("bob"), Key: "address"}
	if d := policy.Decide(r); !d.Allowed {
		fmt.Println(l.Write(ctx, audit.Of(r, d)))
	}
	for r, err := range l.Query(ctx, audit.Query{Verdict: audit.OnlyDenied}) {
		fmt.Println(r.Seq, r.Principal, r.Op, r.Scope, r.Key, err)
	}
	report, err := l.Verify(ctx)
	fmt.Println(report.Records, err)
	fmt.Println(l.Close(ctx))
	// Output:
	// <nil>
	// 1 mallory get user:bob address <nil>
	// 1 <nil>
	// <nil>
}
