package keystile_test

import (
	"fmt"

	keystile "github.com/keystile/keystile/bindings/go"
)

func ExampleVerifier_Explain() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	wanted := keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read"}}
	record := keystile.Must((&keystile.Issuer{Format: format}).Issue(wanted, now)).Record
	request := keystile.Request{
		Requirement: keystile.Must(keystile.ParseRequirement("read AND write")),
		Method:      "GET", Path: "/api/data/7",
	}
	var explained *keystile.Explanation = keystile.Must(verifier.Explain(record, request, keystile.UsageOf(record), now))
	fmt.Println(explained.Decision, explained.Code)
	var refusing keystile.ExplainedCheck
	for _, check := range explained.Checks {
		if check.Check == explained.RefusedBy {
			refusing = check
		}
	}
	fmt.Println(refusing.Check+":", refusing.Compared)
	// Output:
	// deny permission_missing
	// permission: the request needs "read AND write"; the key has: read; missing: write
}
