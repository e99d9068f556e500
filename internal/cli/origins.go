package cli

import (
	"context"
	"net/http"
)

const originsPath = "/v1/origins"

// originsCmd is about whose pages may act as the tenant; all of it wants a tenant's key.
type originsCmd struct {
	Show  showOriginsCmd  `cmd:"" help:"Show the list."`
	Set   setOriginsCmd   `cmd:"" help:"Replace the list; with --none no page may act as the tenant."`
	Unset unsetOriginsCmd `cmd:"" help:"Take the list away: pages of any origin may, if they have a key or token."`
}

type showOriginsCmd struct{}

func (*showOriginsCmd) Run(ctx context.Context, s *session) error {
	return answer(ctx, s, http.MethodGet, originsPath, nil, s.showOrigins)
}

// originsView is the list as the hub shows it; null is none.
type originsView struct {
	Origins []string `json:"origins"`
}

// showOrigins prints the list: none and an empty one are opposites, and so are said in words.
func (s *session) showOrigins(list originsView) error {
	switch {
	case list.Origins == nil:
		return s.say("no list: pages of any origin may act as the tenant, if they have a key or token")
	case len(list.Origins) == 0:
		return s.say("an empty list: no page of elsewhere may act as the tenant")
	}
	var rows [][]string
	for _, origin := range list.Origins {
		rows = append(rows, []string{plain(origin)})
	}
	return table(s.out, "ORIGIN", rows)
}

type setOriginsCmd struct {
	Origins []string `arg:"" optional:"" name:"origin" help:"Origins, as https://app.example.com or https://*.example.org; all that there are to be."`
	None    bool     `help:"An empty list."`
}

func (c *setOriginsCmd) Run(ctx context.Context, s *session) error {
	if c.None == (len(c.Origins) > 0) {
		return wrongUsage("give the origins, or --none for an empty list")
	}
	list := append([]string{}, c.Origins...) // never null
	return answer(ctx, s, http.MethodPut, originsPath, originsView{list}, s.showOrigins)
}

type unsetOriginsCmd struct{}

func (*unsetOriginsCmd) Run(ctx context.Context, s *session) error {
	if _, err := s.hub.Do(ctx, http.MethodDelete, originsPath, nil); err != nil {
		return err
	}
	if s.json {
		return s.print(originsView{}) // what GET says from now on
	}
	return s.showOrigins(originsView{})
}
