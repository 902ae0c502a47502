// Lets Node load the SDK: answers the specifiers that the builder answers, with a host of the tests' own.
import { register } from 'node:module';

register('./resolve.js', import.meta.url);
