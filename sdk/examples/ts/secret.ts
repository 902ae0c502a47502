// Asks another service, whose API key the plugin never sees: the host adds it to the request. The operator says where
// the plugin may go, and what it brings along:
//
//   [plugin.secret]
//   http = ["https://weather.example.com"]
//   [[plugin.secret.secrets]]
//   origin = "https://weather.example.com"
//   header = "Authorization"
//   prefix = "Bearer "
//   value_env = "WEATHER_KEY"
//   [plugin.secret.config]
//   source = "https://weather.example.com"
//
//   coinslot pay http://127.0.0.1:8402/weather/Oslo
import { config, get, plugin, Refusal } from 'coinslot';

plugin({
  onLoad() {
    if (!config('source')) throw new Error('set source to the address of the weather service');
  },
});

const Weather = {
  type: 'object',
  properties: { city: { type: 'string' }, celsius: { type: 'number' } },
  required: ['city', 'celsius'],
} as const;

get('/weather/{city}', { price: '0.003', summary: 'The temperature in a city', returns: Weather }, async ({ path }) => {
  const url = `${config('source')}/now?city=${encodeURIComponent(path.city)}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch((error) => {
    console.error('the weather service does not answer:', error);
    throw new Refusal(502, 'no_weather', 'the weather service does not answer: try again later');
  });
  if (response.status === 404) throw new Refusal(404, 'unknown_city', 'there is no weather of that city');
  if (!response.ok) throw new Refusal(502, 'no_weather', 'the weather service has failed: try again later');
  const { celsius } = await response.json();
  return { city: path.city, celsius };
});
