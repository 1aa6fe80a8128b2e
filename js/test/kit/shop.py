"""An application for the tests of the TypeScript client."""

import asyncio

import heartline

app = heartline.Server(heartbeat=heartline.Heartbeat(0.3, 0.3))
app.channel("log/{name}", history=1000)
app.channel("short/{name}", history=3)
app.channel("room/{name}", presence=True)
seen: list[object] = []


@app.login
def judge(payload: object) -> heartline.Identity:
    if payload == "wrong":
        raise heartline.Refuse("bad_token", "ask for a new one")
    return heartline.Identity("somebody")


@app.on("echo")
def echo(data: object) -> object:
    return data


@app.on("mark")
def mark(data: object) -> None:
    seen.append(data)


@app.on("seen")
def tell_seen(_data: object) -> list[object]:
    return seen


@app.on("slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.on("fail")
def fail(data: object) -> None:
    raise heartline.Reject("no_luck", "not today")


@app.on("greet")
async def greet(session: heartline.Session, name: str) -> None:
    await session.send("greeting", f"Hello {name}")


@app.on("write")
async def write(data: list[object]) -> None:
    channel, event, value = data
    await app.publish(str(channel), str(event), value)


@app.on("write now")
def write_now(data: list[object]) -> None:
    channel, event, value = data
    app.publish_now(str(channel), str(event), value)
