"""What payloads often say, for packing them small: part of the format of what is kept, never changed.

Common words first, then the fields of events, the most frequent last. Only what anybody may read belongs here.
"""

WORDS = (
    b" because between through another something should would could people number before after about there their"
    b" which when what where were they been more than only other some time also into over your will have from this"
    b" with that you are not was but for can has all one its it is be as at by on in to of a the"
    b" Could you please tell me how many do I will look that up in the file: The This There is It is an You can see"
    b"tion ment ing the of the in the to the and the for the on the that the with the is a "
    b'"message_kind":"checkpoint":"schedule":"standing":"where":"label":"child":"pid":"<error":"problem":"mend":"'
    b'"reasoning":"thinking":"run":"01workflow":"visit":1,"trigger":"slot":"attempts":"path":"reason":"timeout"'
    b'"retry_after":"retry":true,"why":"number":1,"by":"person:"unknown":true"branch":"error","error":"'
    b'"digest":"system":"tools":"temperature":0."max_tokens":"left_out":[],"talk":{"first":,"last":"messages":'
    b'"status":"finished","failed","refused","seconds":0.0"what":"value":"room":"garden","agent":"key":"'
    b'"outcome":"answered","steps":1,"attempt":2"name":"type":"string","description":"tool_call_id":"https://'
    b'{"turn":"01","step":1,"provider":"openai","model":"gpt-5anthropic","model":"claude-","attempt":1'
    b'{"turn":"01","step":0,"text":"","usage":{"input_tokens":1,"output_tokens":1,"cached_tokens":0,'
    b'"cache_write_tokens":0},"finish_reason":"stop","model":"","provider":"openai","cost_micro":1,"first_ms":1'
    b'"finish_reason":"tool_calls","model":"gpt-5-mini","provider":"openai","tool_calls":[{"id":"call_'
    b'","name":"","arguments":{"query":""},"vendor":null}],"cost_micro":1,"first_ms":,"duration_ms":'
    b'{"call_id":"call_","tool":"","arguments":{"path":"query":""},"caller":"workflow:agent:'
    b'{"call_id":"call_","tool":"","branch":"ok","duration_ms":1.,"outcome":{"value":null,"text":"'
    b'{"message":"01","author":"person"}","final":true,"client_id":"","to":["","model":""}'
    b'{"author":"","author_kind":"agent","text":"{"author":"","author_kind":"person","text":"'
)
