"""Asks another service, whose API key the plugin never sees: the host adds it to the request.

The operator says where the plugin may go, and what it brings along:

    [plugin.secret]
    http = ["https://weather.example.com"]
    [[plugin.secret.secrets]]
    origin = "https://weather.example.com"
    header = "Authorization"
    prefix = "Bearer "
    value_env = "WEATHER_KEY"
    [plugin.secret.config]
    source = "https://weather.example.com"

coinslot pay http://127.0.0.1:8402/weather/Oslo
"""

from dataclasses import dataclass

from coinslot import FetchError, Refusal, check_config, config, fetch, get


@dataclass
class Weather:
    city: str
    celsius: float


@check_config
def knows_its_source():
    if not config("source"):
        raise ValueError("set source to the address of the weather service")


@get("/weather/{city}", price="0.003")
def weather(city: str) -> Weather:
    """The temperature in a city"""
    try:
        reply = fetch(f"{config('source')}/now", query={"city": city}, timeout=2)
        if reply.status == 404:
            raise Refusal(404, "unknown_city", "there is no weather of that city")
        return Weather(city, reply.raise_for_status().json()["celsius"])
    except FetchError as error:
        print("the weather service does not answer:", error)
        raise Refusal(502, "no_weather", "the weather service does not answer: try again later") from error
