package config

// BrokerURL is the address of a broker as the uplink takes it, with its port.
// The error holds the mend and never the text.
func BrokerURL(text string) (string, error) {
	normal, fault := normalBroker(text)
	if fault.Found != "" {
		return "", said(fault)
	}
	return normal, nil
}

// ReceiverURL is the address of a receiver of OTLP as the uplink takes it, all
// before /v1/metrics. With a token, clear text is for this machine only.
func ReceiverURL(text string, token bool) (string, error) {
	normal, fault := normalOTLP(text, token)
	if fault.Found != "" {
		return "", said(fault)
	}
	return normal, nil
}

// SiteName checks the name of a site, which in a topic of MQTT has fewer
// letters to choose from.
func SiteName(name string, topic bool) error {
	c := checker{root: &node{}}
	c.dimensionValue(name, "site")
	if topic && len(c.errs) == 0 {
		c.topicName(name, "site")
	}
	if len(c.errs) == 0 {
		return nil
	}
	return said(Error{Found: c.errs[0].Found, Expected: c.errs[0].Expected, Mend: c.errs[0].Mend})
}
