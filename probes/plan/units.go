package plan

// inUnits is the conversion of a metric on a row, with the number of the row's
// units among its factors; false where that number is not there.
func (p *poll) inUnits(c *Conversion, l *metricLookup, index string) (*Conversion, bool) {
	if l.units == nil {
		return c, true
	}
	cell, _ := p.find(l.units, index)
	units, ok := cell.gauge()
	if !ok {
		return nil, false
	}
	own := *c
	multiplier, _ := c.factor()
	own.Multiplier = multiplier * units.Float64()
	return &own, units.Float64() != 0
}
