package config
import ("testing";"strings";"fmt";"time")
func TestSlow(t *testing.T){
 keys:=func(n int, pre, post string) string { var b strings.Builder; for i:=range n { fmt.Fprintf(&b,"%sk%d%s\n",pre,i,post)}; return b.String()}
 for name,text:=range map[string]string{
  "keys": keys(100000,"",": 1"),
  "creds": "credentials:\n"+keys(20000,"  ",": {version: 1}"),
  "ext": "extensions:\n"+strings.Repeat("  - {}\n",20000),
  "probes": "probes:\n"+strings.Repeat("  - {kind: snmp}\n",50000),
  "dims": "dimensions:\n"+keys(20000,"  ",": x"),
  "badkeys": "dimensions:\n"+keys(20000,"  ",": 1"),
  "deep": strings.Repeat("[",100000),
  "merge": "a: &a {"+strings.Repeat("x: 1, ",1)+"}\n"+keys(20000,"",": {<<: *a}"),
  "bomb": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nprobes: *e\n",
 } {
  folder(t, map[string]string{"edgehold.yaml":text})
  s:=time.Now()
  _,_,err:=Load("edgehold.yaml",testKinds())
  t.Log(name,len(text),time.Since(s), len(err.(Errors)))
 }
}
