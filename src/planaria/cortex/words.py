"""What payloads often say, for packing them small: part of the format of what is kept, never changed.

The most frequent stand last. Only texts that anybody may read belong here.
"""

WORDS = (
    b'"workflow":"trigger":"outcome":"answered","status":"running","duration_ms":"retry":true,"description":"'
    b'"caller":"reason":"timeout","error":"problem":"mend":"https://www."temperature":"max_tokens":'
    b'"prompt":[{"role":"system","content":"role":"assistant","role":"user","role":"tool","tool_call_id":"'
    b'"pid":"<label":"where":".py:"child":"seconds":0.0"value":null,"type":"string","name":"description":"'
    b'"kind":"finished","failed","refused","attempt":1,"attempts":"key":"tokens":{"in":,"out":'
    b'"steps":1,"input_tokens":,"output_tokens":,"cached_tokens":0,"thinking_tokens":0,"cost_micros":0,"cost":0.00'
    b'"provider":"openai","anthropic/claude-"model":"openai/gpt-5"usage":{"stop":"end_turn","tool_calls":[{"id":"call_'
    b'"turn":"01"message":"01"room":"garden","agent":"step":1,"calls":[{"tool":"arguments":{"query":"'
    b'{"call_id":"call_","branch":"ok","result":"","text":" the and of that '
    b'"to":["scout"],"client_id":"final":true,"model":null,"author":"","author_kind":"agent","text":"'
    b'{"author":"","author_kind":"person","text":"'
)
