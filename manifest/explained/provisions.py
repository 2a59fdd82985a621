"""Examples of secrets, keys, users and locks."""

from manifest.explained.example import Example

EXAMPLES = {
    "E077": Example("""\
 version: 1
 name: shop
-secrets: {api-key: {generate: 32, file: /etc/shop/api-key, programs: [api]}}
+secrets: {api-key: {file: /etc/shop/api-key, programs: [api]}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E078": Example("""\
 version: 1
 name: shop
 secrets: {api-key: {generate: 32, programs: [api]}}
 programs:
-  api: {command: [/opt/api, --key-file, "${secret:apikey}"]}
+  api: {command: [/opt/api, --key-file, "${secret:api-key}"]}
"""),
    "E079": Example("""\
 version: 1
 name: shop
-secrets: {api-key: {generate: 32, programs: [worker]}}
+secrets: {api-key: {generate: 32, programs: [worker, api]}}
 programs:
   worker: {command: [/opt/worker]}
   api: {command: [/opt/api, --key-file, "${secret:api-key}"]}
"""),
    "E080": Example("""\
 version: 1
 name: shop
 secrets: {api-key: {generate: 32, env: SHOP_ID, programs: [api]}}
 programs:
   api:
     command: [/opt/api]
-    environment: {SHOP_ID: main-street}
+    environment: {SHOP_NAME: main-street}
"""),
    "E081": Example("""\
 version: 1
 name: shop
-boot: {environment: [SHOP_NAME, API_KEY]}
+boot: {environment: [SHOP_NAME]}
 secrets: {api-key: {variable: API_KEY, env: API_KEY, programs: [api]}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E082": Example("""\
 version: 1
 name: shop
 secrets: {seed: {file: /etc/shop/seed}}
-identity: {keys: {ed25519: {file: /etc/shop/key, secret: seed}}}
+identity: {keys: {ed25519: {secret: seed}}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E083": Example("""\
 version: 1
 name: shop
+security: {exceptions: {program-users: the plug-ins are not ours}}
 programs:
   api: {command: [/opt/api], user: "1001:1001"}
"""),
    "E084": Example(
        """\
 printf 'version: 1\\nname: shop\\n' > bootseal.yaml
 printf 'artifacts: {api: {path: "${here}/api", verify: digest}}\\n' >> bootseal.yaml
 printf 'programs:\\n  api: {command: ["${here}/api"], artifacts: [api]}\\n' >> bootseal.yaml
 printf '#!/bin/sh\\nsleep 1000\\n' > api
 chmod 755 api
+bootseal lock bootseal.yaml
""",
        is_script=True,
    ),
    "E085": Example(
        """\
 printf 'version: 1\\nname: shop\\nartifacts: {api: "${here}/api"}\\n' > bootseal.yaml
 printf 'programs:\\n  api: {command: ["${here}/api"], artifacts: [api]}\\n' >> bootseal.yaml
 printf '#!/bin/sh\\nsleep 1000\\n' > api
 chmod 755 api
-printf '{"closures": []' > closures.lock
+bootseal lock bootseal.yaml
""",
        is_script=True,
    ),
    "E086": Example("""\
 version: 1
 name: shop
-security: {exceptions: {program-users: ""}}
+security: {exceptions: {program-users: the plug-ins are not ours}}
 programs:
   api: {command: [/opt/api], user: "1001:1001"}
"""),
    "E087": Example("""\
 version: 1
 name: shop
-secrets: {seed: {generate: 32}}
+secrets: {seed: {file: /etc/shop/seed}}
 identity: {keys: {ed25519: {secret: seed}}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E088": Example(
        """\
 version: 1
 name: shop
 secrets: {token: {generate: 32}}
-probes: {detail: {token: {}}}
+probes: {detail: {token: {secret: token}}}
 programs:
   api: {command: [/opt/api]}
""",
        also=frozenset({"W005"}),
    ),
    "E089": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-probes: {detail: {listen: none, token: {file: /etc/shop/token}}}
+probes: {detail: {listen: "127.0.0.1:8081", token: {file: /etc/shop/token}}}
"""),
}
