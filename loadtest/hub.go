package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The tenant and the function that a comparison makes.
const (
	hubTenant   = "load"
	hubFunction = "add"
)

// prepareHub waits until the hub that we started is ready, makes a tenant and publishes the function,
// all through the public API. It gives the tenant's key.
func prepareHub(ctx context.Context, url, adminKey string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := waitReady(ctx, url); err != nil {
		return "", err
	}
	var tenant struct{ Key string }
	if err := request(ctx, adminKey, http.MethodPost, url+"/v1/admin/tenants", map[string]string{"name": hubTenant}, &tenant); err != nil {
		return "", fmt.Errorf("make a tenant: %w", err)
	}
	return tenant.Key, publishAdd(ctx, url, tenant.Key)
}

// publishAdd publishes the function that every peer runs.
func publishAdd(ctx context.Context, url, key string) error {
	return publish(ctx, url, key, hubFunction)
}

// publish publishes one of our functions. On a hub that has it already, this changes nothing.
func publish(ctx context.Context, url, key, name string) error {
	source, err := files.ReadFile("functions/" + name + "/index.js")
	if err != nil {
		return err
	}
	body := map[string]string{"source": string(source)}
	if err := request(ctx, key, http.MethodPut, url+"/v1/functions/"+name, body, nil); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

func waitReady(ctx context.Context, url string) error {
	for {
		err := request(ctx, "", http.MethodGet, url+"/readyz", nil, nil)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("the hub is not ready: %w", err)
		case <-timer.C:
		}
	}
}

// request makes one API request and decodes its JSON answer into result, unless that is nil.
func request(ctx context.Context, key, method, url string, body, result any) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	r.Close = true // an idle connection of ours would stay with the peer
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		var problem struct{ Code, Detail string }
		if json.Unmarshal(b, &problem) != nil || problem.Code == "" {
			return errors.New(res.Status)
		}
		return fmt.Errorf("%s: %s", problem.Code, problem.Detail)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(b, result)
}
