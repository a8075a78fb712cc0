// This program uses a client that is generated from the OpenAPI document of `keystile serve`. Its
// argument is the address of the service, and KEYSTILE_KEY is an admin key.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
)

func main() {
	if err := run(os.Args[1], os.Getenv("KEYSTILE_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url, admin string) error {
	ctx := context.Background()
	client, err := NewClientWithResponses(url, WithRequestEditorFn(presenting(admin)))
	if err != nil {
		return err
	}

	name, permissions := "Acme Ltd", []string{"read"}
	issued, err := client.IssueWithResponse(ctx, nil, IssueBody{ClientName: name, Permissions: &permissions})
	if err != nil {
		return err
	}
	if issued.JSON201 == nil || issued.JSON201.Key == "" {
		return fmt.Errorf("issuing: %s", issued.Status())
	}
	id := issued.JSON201.KeyId

	listed, err := client.ListWithResponse(ctx, &ListParams{ClientName: &name})
	if err != nil {
		return err
	}
	if listed.JSON200 == nil || len(listed.JSON200.Keys) != 1 || listed.JSON200.Keys[0].KeyId != id {
		return fmt.Errorf("listing: %s: %v", listed.Status(), listed.JSON200)
	}
	// What may be null is a pointer.
	if key := listed.JSON200.Keys[0]; key.Owner != nil || key.ExpiresAt == nil || listed.JSON200.Next != nil {
		return fmt.Errorf("listing: %v", key)
	}

	for required, expected := range map[string]string{"read": "allow", "write": "deny"} {
		verified, err := client.VerifyWithResponse(ctx, VerifyBody{Requires: &required}, presenting(issued.JSON201.Key))
		if err != nil {
			return err
		}
		decision := verified.JSON200
		if decision == nil || decision.Decision != expected {
			return fmt.Errorf("verifying: %s: %v", verified.Status(), decision)
		}
		isMissing := decision.Code != nil && *decision.Code == "permission_missing" && len(decision.Missing) == 1
		if isMissing != (expected == "deny") {
			return fmt.Errorf("verifying: %v", decision)
		}
	}

	// Refusals have types too.
	unnamed, err := client.IssueWithResponse(ctx, nil, IssueBody{})
	if err != nil {
		return err
	}
	if problem := unnamed.JSON422; problem == nil || problem.Code == "" || problem.Message == "" {
		return fmt.Errorf("issuing without a name: %s: %s", unnamed.Status(), unnamed.Body)
	}
	forbidden, err := client.IssueWithResponse(ctx, nil, IssueBody{ClientName: name}, presenting(issued.JSON201.Key))
	if err != nil {
		return err
	}
	if problem := forbidden.JSON403; problem == nil || problem.Code != "permission_missing" {
		return fmt.Errorf("issuing without the permission: %s: %s", forbidden.Status(), forbidden.Body)
	}
	unknown, err := client.RevokeWithResponse(ctx, "1AbCdEfGhIjKlMnO", RevokeBody{})
	if err != nil {
		return err
	}
	if problem := unknown.JSON404; problem == nil || problem.Code == "" {
		return fmt.Errorf("revoking an unknown key: %s: %s", unknown.Status(), unknown.Body)
	}

	revoked, err := client.RevokeWithResponse(ctx, id, RevokeBody{})
	if err != nil {
		return err
	}
	if revoked.JSON200 == nil {
		return fmt.Errorf("revoking: %s: %s", revoked.Status(), revoked.Body)
	}
	fmt.Println("the generated client issues, lists, verifies and revokes, and sees refusals")
	return nil
}

// presenting sends a key with a request, instead of any that it has.
func presenting(key string) RequestEditorFn {
	return func(_ context.Context, request *http.Request) error {
		request.Header.Set("X-API-Key", key)
		return nil
	}
}
