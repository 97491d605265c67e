"""An independent receiver: the MLLP server and the parser of python3-hl7.

usage: receiver.py ENCODING [CERTIFICATE AUTHORITY]

With a certificate it speaks TLS and asks for one that AUTHORITY signed. It prints its
port, then for each message one line of JSON: every value as it understood it, and the
digest of the document. The MSH-10 says what it answers: AE..., AR..., else AA.
"""
import asyncio, base64, hashlib, json, ssl, sys
import hl7, hl7.mllp


def values(message):
    """segments > fields > repetitions > components > subcomponents, without escapes"""
    out = []
    for segment in message:
        name = str(segment[0])
        fields = [name]
        for n in range(1, len(segment)):
            if name == "MSH" and n <= 2:
                fields.append(str(segment[n]))
                continue
            field = []
            for repetition in segment[n]:
                if not isinstance(repetition, hl7.Repetition):
                    field.append([[message.unescape(str(repetition))]])
                    continue
                parts = []
                for component in repetition:
                    subs = component if isinstance(component, hl7.Component) else [component]
                    parts.append([message.unescape(str(s)) for s in subs])
                field.append(parts)
            fields.append(field)
        out.append(fields)
    return out


def document(message):
    obx = message.segments("OBX")[0]
    data = base64.b64decode(str(obx[5][0][4]), validate=True)
    obx[5][0][4] = hl7.Component("&", ["(document)"])
    return hashlib.sha256(data).hexdigest()


async def serve(reader, writer):
    try:
        while True:
            message = await reader.readmessage()
            control = str(message.extract_field("MSH", 1, 10))
            ack = message.create_ack(control[:2] if control[:2] in ("AE", "AR") else "AA")
            if control.startswith("AE"):
                ack = hl7.parse(str(ack) + "ERR||PID^1^3|207^Application error^messageErrorCondition|E|902^Identifiant inconnu^applicationErrorCode\r")
            digest = document(message)
            print(json.dumps({"control": control, "document": digest, "values": values(message)}), flush=True)
            writer.writemessage(ack)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        context.load_verify_locations(sys.argv[3])
        context.verify_mode = ssl.CERT_REQUIRED
    server = await hl7.mllp.start_hl7_server(serve, host="127.0.0.1", port=0, limit=64 << 20, encoding=sys.argv[1], ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
