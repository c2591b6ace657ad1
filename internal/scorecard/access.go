package main

import (
	"errors"
	"fmt"
)

// accessMatrix compares decisions of package access with its reference policy.
func accessMatrix(c config) ([]figure, error) {
	requests := of(c.size, 30_000, 100_000, 1_000_000)
	out, err := testOutput("-run=^TestEveryCellOfTheMatrix$|^TestRandomPoliciesDecideAsTheReference$", "./access",
		fmt.Sprintf("-requests=%d", requests), fmt.Sprintf("-seed=%d", c.seed))
	n := attributes(out)
	if len(n) == 0 {
		return nil, errors.Join(err, errors.New("no figures were printed"))
	}
	return []figure{
		{"access-cells", n["cells"], "cells", atLeast(2000)},
		{"access-requests", n["requests"], "requests", atLeast(float64(requests))},
		{"access-wrong", n["wrong-cells"] + n["wrong-requests"], "tests", exactly(0)},
	}, err
}
