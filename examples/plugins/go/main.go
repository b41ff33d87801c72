// Stamps every message with the site it came through and a number per client, and keeps clients from
// publishing below one topic.
package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"example-plugin/tidegate"
	"example-plugin/tidegate/authorizer"
	"example-plugin/tidegate/interceptingpublish"
	"example-plugin/tidegate/lifecycle"
)

var settings struct {
	Site     string `json:"site"`
	ReadOnly string `json:"read-only"`
}

// What the plugin implements is what it imports and names here.
func init() {
	lifecycle.OnInit(start)
	authorizer.Handle(authorize)
	interceptingpublish.Handle(intercept)
}

func main() {}

func start(config []byte) (lifecycle.Registration, error) {
	if err := json.Unmarshal(config, &settings); err != nil {
		return lifecycle.Registration{}, err
	}
	if settings.Site == "" {
		return lifecycle.Registration{}, errors.New("settings: site: is missing")
	}
	return lifecycle.Registration{}, nil
}

func authorize(access authorizer.Access) authorizer.Verdict {
	if access.Action == authorizer.Publish && settings.ReadOnly != "" &&
		strings.HasPrefix(access.Topic, settings.ReadOnly) {
		return authorizer.Deny(tidegate.NotAuthorized, 0)
	}
	return authorizer.Next()
}

func intercept(message interceptingpublish.Message) interceptingpublish.Verdict {
	if message.PayloadLength == 0 {
		tidegate.ReasonString("an empty payload says nothing")
		return interceptingpublish.Reject(tidegate.PayloadFormatInvalid)
	}
	number, err := tidegate.StateAdd("count/"+tidegate.ClientIdentifier(), 1)
	if err != nil {
		tidegate.Log(tidegate.Warn, "not counted", "error", err.Error())
		return interceptingpublish.Continue()
	}
	tidegate.SetUserProperties(append(tidegate.UserProperties(),
		tidegate.UserProperty{Name: "site", Value: settings.Site},
		tidegate.UserProperty{Name: "number", Value: strconv.FormatInt(number, 10)}))
	tidegate.Log(tidegate.Debug, "stamped", "topic", message.Topic)
	return interceptingpublish.Continue()
}
