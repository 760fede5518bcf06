package main_test
import "testing"
func TestE2EX(t *testing.T){ env:=newEnvironment(t); r:=newSwitch(t,"127.0.0.1",goodCommunity); s:=newSite(t); s.yaml(env.URL(),"probes:\n",polled("1s",r.Addr())); s.start(); eventually(t,"x",func()bool{return len(linesOf(t,env,uptimesOf(r.Addr())))>2}); for _,l:=range env.Ledger().Lines(){t.Log(l)} }
