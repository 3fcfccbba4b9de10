package respgate_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/oapi-codegen/nullable"

	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/control"
	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/store"
)

const operatorsToken = "the operator's own token, long enough"

// serve is a proxy's management API in this process.
func serve() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "respgate-example-")
	if err != nil {
		log.Panic(err)
	}
	st, err := store.Open(context.Background(), store.Config{Driver: "sqlite", DSN: "file:" + filepath.Join(dir, "respgate.db")}, nil)
	if err != nil {
		log.Panic(err)
	}
	plane := control.New(control.Config{AdminToken: operatorsToken}, st)
	mux := http.NewServeMux()
	api.New(api.Config{}, plane, st, slog.New(slog.DiscardHandler)).Mount(mux)
	server := httptest.NewServer(mux)
	return server.URL, func() {
		server.Close()
		_ = st.Close()
		_ = os.RemoveAll(dir)
	}
}

// An organization gets an instance and a key, whose limit is lifted and then put back to the
// default.
func Example() {
	url, stop := serve()
	defer stop()

	ctx := context.Background()
	c, err := respgate.NewClientWithResponses(url, respgate.WithToken(operatorsToken))
	if err != nil {
		log.Panic(err)
	}
	_, err = c.CreateOrganizationWithResponse(ctx, nil, respgate.OrganizationCreate{Name: "acme", MaxKeys: new(int64(20))})
	if err != nil {
		log.Panic(err)
	}
	_, err = c.CreateInstanceWithResponse(ctx, "acme", nil, respgate.InstanceCreate{Name: "cache", URL: "redis://:password@10.0.0.5:6379/0"})
	if err != nil {
		log.Panic(err)
	}
	made, err := c.CreateKeyWithResponse(ctx, "acme", nil, respgate.KeyCreate{Name: "web", Instances: []string{"cache"}})
	if err := respgate.Check(made, err); err != nil {
		log.Panic(err)
	}
	fmt.Println("clients send", made.JSON201.Key[:3]+"…", "for", made.JSON201.Instances)

	for _, rate := range []nullable.Nullable[int64]{nullable.NewNullableWithValue(int64(0)), nullable.NewNullNullable[int64]()} {
		key, err := c.UpdateKeyWithResponse(ctx, made.JSON201.ID, nil, respgate.KeyPatch{Rate: rate})
		if err := respgate.Check(key, err); err != nil {
			log.Panic(err)
		}
		fmt.Println("the rate is the default:", key.JSON200.Rate.IsNull())
	}

	// What goes wrong says why.
	fmt.Println(respgate.Check(c.GetKeyWithResponse(ctx, "nosuch", nil)))

	// Lists come in pages.
	for in, err := range respgate.All[respgate.Instance](func(cursor *string) (respgate.Answer, error) {
		return c.ListInstancesWithResponse(ctx, "acme", &respgate.ListInstancesParams{Cursor: cursor})
	}) {
		if err != nil {
			log.Panic(err)
		}
		fmt.Println(in.Name, "is at", in.URL)
	}
	// Output:
	// clients send rg_… for [cache]
	// the rate is the default: false
	// the rate is the default: true
	// key "nosuch" not found
	// cache is at redis://:xxxxx@10.0.0.5:6379/0
}
